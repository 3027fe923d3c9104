# Two daemons with calls between them: the script is the test. It needs libsrtp2 and NSS softokn.
if(TARGET call-end)
    add_test(NAME test_two_hosts COMMAND ${PROJECT_SOURCE_DIR}/deploy/demo/two-hosts --build ${PROJECT_BINARY_DIR})
    set_tests_properties(test_two_hosts PROPERTIES PROCESSORS 2 LABELS "integration;nss" TIMEOUT 120)
endif()
