add_library(daemon_lab STATIC daemon/lab.c)
target_link_libraries(daemon_lab PUBLIC mikeyd_client mikeyd_rpc mikeyd_base PkgConfig::CRITERION mikeyd_build)
target_include_directories(daemon_lab PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/daemon)
target_compile_definitions(daemon_lab PRIVATE
    MIKEYD_PROGRAM="$<TARGET_FILE:mikeyd>" MIKEYCTL_PROGRAM="$<TARGET_FILE:mikeyctl>")

mikeyd_integration_test(test_daemon_life SOURCES daemon/test_life.c LIBS daemon_lab)
mikeyd_integration_test(test_daemon_hostile SOURCES daemon/test_hostile.c LIBS daemon_lab)
mikeyd_integration_test(test_daemon_load SOURCES daemon/test_load.c LIBS daemon_lab THREADS)
mikeyd_integration_test(test_daemon_token_hangs SOURCES daemon/test_token_hangs.c LIBS daemon_lab)
mikeyd_integration_test(test_daemon_notify SOURCES daemon/test_notify.c LIBS daemon_lab)
mikeyd_integration_test(test_ctl SOURCES daemon/test_ctl.c LIBS daemon_lab PkgConfig::JANSSON)
