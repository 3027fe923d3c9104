# Groups of tokens under load, while one of them fails.
mikeyd_integration_test(test_failover SOURCES failover/test_failover.c LIBS daemon_lab mikeyd_fault_control PkgConfig::JANSSON THREADS)
target_compile_definitions(test_failover PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
add_dependencies(test_failover mikeyd_fault_module)
# One token, and nobody to take over.
mikeyd_integration_test(test_one_token SOURCES failover/test_one_token.c LIBS daemon_lab mikeyd_fault_control PkgConfig::JANSSON THREADS)
target_compile_definitions(test_one_token PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
add_dependencies(test_one_token mikeyd_fault_module)
# Two tokens with another key under one name.
mikeyd_integration_test(test_differing SOURCES failover/test_differing.c LIBS daemon_lab PkgConfig::JANSSON)
# A sample of the fault matrix (matrix/) through a whole daemon.
mikeyd_integration_test(test_daemon_matrix SOURCES failover/test_daemon_matrix.c LIBS daemon_lab mikeyd_fault_control)
target_compile_definitions(test_daemon_matrix PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
add_dependencies(test_daemon_matrix mikeyd_fault_module)
