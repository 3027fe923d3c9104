# The key ceremony as the manual tells it, command by command, on two SoftHSM tokens.
add_test(NAME test_ceremony_manual
    COMMAND ${PROJECT_SOURCE_DIR}/deploy/demo/ceremony/run --build ${PROJECT_BINARY_DIR})
set_tests_properties(test_ceremony_manual PROPERTIES LABELS "integration;softhsm" TIMEOUT 120)
