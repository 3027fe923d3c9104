# Two SBCs with calls through them: the script is the test. It needs root, network namespaces, SIPp and NSS softokn, and
# says so where they are missing. Under a sanitizer it would be a test of SIPp's patience.
if(TARGET demo-sbc AND NOT MIKEYD_SANITIZE)
    add_test(NAME test_sbc COMMAND ${PROJECT_SOURCE_DIR}/deploy/demo/sbc/run --build ${PROJECT_BINARY_DIR})
    set_tests_properties(test_sbc PROPERTIES PROCESSORS 2 LABELS "integration;nss" TIMEOUT 180 SKIP_RETURN_CODE 77)
endif()
