# Two sites under load while everything is broken once: the script is the test. Sanitizers are too slow for its many processes.
if(TARGET fleet-load AND TARGET mikeyd-gate AND NOT MIKEYD_SANITIZE)
    add_test(NAME fleet COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fleet/run ${PROJECT_BINARY_DIR})
    set_tests_properties(fleet PROPERTIES PROCESSORS 2 LABELS "integration;softhsm" TIMEOUT 900 SKIP_RETURN_CODE 77)
endif()
