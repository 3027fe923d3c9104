mikeyd_unit_test(test_status_summary
    SOURCES mikeyctl/status_summary.c ${PROJECT_SOURCE_DIR}/src/mikeyctl/status_summary.c
    LIBS PkgConfig::JANSSON)
target_include_directories(test_status_summary PRIVATE ${PROJECT_SOURCE_DIR}/src)
set(parts ctl exchange_arguments exchange_sdp)
list(TRANSFORM parts REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/src/mikeyctl/\\1.c")
mikeyd_unit_test(test_exchange_arguments SOURCES mikeyctl/exchange_arguments.c ${parts}
    LIBS mikeyd_client mikeyd_mikey mikeyd_base PkgConfig::JANSSON)
target_include_directories(test_exchange_arguments PRIVATE ${PROJECT_SOURCE_DIR}/src)
target_link_options(test_exchange_arguments PRIVATE -Wl,--wrap=free)
