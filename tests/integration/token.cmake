# mikeyctl token, on real tokens and on makers' modules that are emulated in front of them.
mikeyd_integration_test(test_token_compat SOURCES token/test_compat.c
    LIBS mikeyd_token_fixture PkgConfig::JANSSON)
target_compile_definitions(test_token_compat PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
add_dependencies(test_token_compat mikeyd_fault_module)
# mikeyctl key on a token whose functions fail, one call at a time.
mikeyd_integration_test(test_ceremony_faults SOURCES token/ceremony_faults.c LIBS daemon_lab mikeyd_fault_control)
target_compile_definitions(test_ceremony_faults PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
add_dependencies(test_ceremony_faults mikeyd_fault_module)
