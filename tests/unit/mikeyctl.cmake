mikeyd_unit_test(test_status_summary
    SOURCES mikeyctl/status_summary.c ${PROJECT_SOURCE_DIR}/src/mikeyctl/status_summary.c
    LIBS PkgConfig::JANSSON)
target_include_directories(test_status_summary PRIVATE ${PROJECT_SOURCE_DIR}/src)
