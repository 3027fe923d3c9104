add_library(daemon_lab STATIC daemon/lab.c daemon/lab_client.c daemon/lab_calls.c)
target_link_libraries(daemon_lab PUBLIC mikeyd_client mikeyd_rpc mikeyd_base mikeyd_lab_token mikeyd_build)
target_include_directories(daemon_lab PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/daemon)
target_compile_definitions(daemon_lab PRIVATE
    MIKEYD_PROGRAM="$<TARGET_FILE:mikeyd>" MIKEYCTL_PROGRAM="$<TARGET_FILE:mikeyctl>")
add_library(daemon_lab_ctl STATIC daemon/lab_ctl.c)
target_link_libraries(daemon_lab_ctl PUBLIC daemon_lab PkgConfig::JANSSON)
target_compile_definitions(daemon_lab_ctl PRIVATE MIKEYCTL_PROGRAM="$<TARGET_FILE:mikeyctl>")

foreach(area life hostile load notify update)
    mikeyd_integration_test(test_daemon_${area} SOURCES daemon/test_${area}.c LIBS daemon_lab
        TOKENS softhsm nss isolated THREADS)
endforeach()
mikeyd_integration_test(test_daemon_confinement SOURCES daemon/test_confinement.c
    LIBS daemon_lab PkgConfig::SECCOMP TOKENS softhsm nss isolated THREADS)
target_compile_definitions(test_daemon_confinement PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
add_dependencies(test_daemon_confinement mikeyd_fault_module)
mikeyd_integration_test(test_daemon_unit SOURCES daemon/test_unit.c LIBS daemon_lab PkgConfig::SECCOMP
    TOKENS softhsm nss)
mikeyd_integration_test(test_daemon_health SOURCES daemon/test_health.c LIBS daemon_lab PkgConfig::JANSSON THREADS)
target_compile_definitions(test_daemon_health PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
add_dependencies(test_daemon_health mikeyd_fault_module)
mikeyd_integration_test(test_daemon_key_check SOURCES daemon/test_key_check.c LIBS daemon_lab
    TOKENS softhsm nss isolated opencryptoki)
mikeyd_integration_test(test_daemon_many_keys SOURCES daemon/test_many_keys.c LIBS daemon_lab_ctl TOKENS nss)
target_compile_definitions(test_daemon_many_keys
    PRIVATE KEYS_BENCH="$<TARGET_FILE:keys-bench>" MIKEYCTL_PROGRAM="$<TARGET_FILE:mikeyctl>")
add_dependencies(test_daemon_many_keys keys-bench)
mikeyd_integration_test(test_daemon_prewarm SOURCES daemon/test_prewarm.c LIBS daemon_lab PkgConfig::JANSSON
    TOKENS softhsm nss isolated THREADS)
mikeyd_integration_test(test_ctl SOURCES daemon/test_ctl.c LIBS daemon_lab_ctl
    TOKENS softhsm nss isolated opencryptoki)
mikeyd_integration_test(test_daemon_accounting SOURCES daemon/test_accounting.c
    LIBS daemon_lab PkgConfig::JANSSON TOKENS softhsm nss THREADS)
mikeyd_integration_test(test_ctl_method SOURCES daemon/test_ctl_method.c
    LIBS daemon_lab_ctl PkgConfig::CRYPTO)
# Behind p11-kit whatever the run is on: there a token can be halted.
mikeyd_integration_test(test_daemon_token_hangs SOURCES daemon/test_token_hangs.c LIBS daemon_lab THREADS)
mikeyd_integration_test(test_daemon_sdp SOURCES daemon/test_sdp.c LIBS daemon_lab_ctl)
mikeyd_integration_test(test_daemon_users SOURCES daemon/test_users.c LIBS daemon_lab)
mikeyd_integration_test(test_output SOURCES daemon/test_output.c LIBS daemon_lab)
mikeyd_integration_test(test_ceremony_log SOURCES daemon/test_ceremony_log.c LIBS daemon_lab)

add_library(mikeyd_clock_shift MODULE ${PROJECT_SOURCE_DIR}/tests/module/clock_shift.c)
target_link_libraries(mikeyd_clock_shift PRIVATE mikeyd_build)
set_target_properties(mikeyd_clock_shift PROPERTIES C_VISIBILITY_PRESET default)
mikeyd_integration_test(test_daemon_store SOURCES daemon/test_store.c LIBS daemon_lab
    TOKENS softhsm nss isolated)
target_compile_definitions(test_daemon_store PRIVATE CLOCK_SHIFT="$<TARGET_FILE:mikeyd_clock_shift>")
add_dependencies(test_daemon_store mikeyd_clock_shift)
mikeyd_integration_test(test_daemon_redis SOURCES daemon/test_redis.c LIBS daemon_lab mikeyd_redis_server)
mikeyd_integration_test(test_daemon_metrics SOURCES daemon/test_metrics.c LIBS daemon_lab mikeyd_redis_server)
target_compile_definitions(test_daemon_metrics PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
add_dependencies(test_daemon_metrics mikeyd_fault_module)
mikeyd_integration_test(test_daemon_other_maker SOURCES daemon/test_opencryptoki.c LIBS daemon_lab TOKENS opencryptoki)
target_compile_definitions(test_daemon_other_maker PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
add_dependencies(test_daemon_other_maker mikeyd_fault_module)

add_library(mikeyd_faulty_random MODULE ${PROJECT_SOURCE_DIR}/tests/module/faulty_random.c)
target_link_libraries(mikeyd_faulty_random PRIVATE mikeyd_build PkgConfig::CRYPTO)
set_target_properties(mikeyd_faulty_random PROPERTIES C_VISIBILITY_PRESET default)
mikeyd_integration_test(test_daemon_random SOURCES daemon/test_random.c LIBS daemon_lab)
target_compile_definitions(test_daemon_random
    PRIVATE FAULTY_RANDOM="$<TARGET_FILE:mikeyd_faulty_random>" MIKEYD_PROGRAM="$<TARGET_FILE:mikeyd>")
add_dependencies(test_daemon_random mikeyd_faulty_random)

add_library(daemon_lab_officers STATIC daemon/lab_officers.c)
target_link_libraries(daemon_lab_officers PUBLIC daemon_lab PkgConfig::CRYPTO)
target_compile_definitions(daemon_lab_officers PRIVATE MIKEYCTL_PROGRAM="$<TARGET_FILE:mikeyctl>")
mikeyd_integration_test(test_signed_policy SOURCES daemon/test_signed_policy.c LIBS daemon_lab_officers)
