# Keys into GStreamer: the script is the test. It is skipped, and says so, where plugins or NSS softokn are missing.
if(TARGET gst-end AND NOT MIKEYD_SANITIZE)
    add_test(NAME test_gst COMMAND ${PROJECT_SOURCE_DIR}/deploy/demo/gst/run --build ${PROJECT_BINARY_DIR})
    set_tests_properties(test_gst PROPERTIES LABELS "integration;nss" TIMEOUT 120 SKIP_RETURN_CODE 77)
endif()
