# Groups of tokens under load, while one of them fails.
mikeyd_integration_test(test_failover SOURCES failover/test_failover.c LIBS daemon_lab mikeyd_fault_control PkgConfig::JANSSON THREADS)
target_compile_definitions(test_failover PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
add_dependencies(test_failover mikeyd_fault_module)
