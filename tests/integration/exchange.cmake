# The service in one process with its tests, on real tokens, a real replay store and a real audit log.
add_library(exchange_lab STATIC exchange/lab.c)
target_link_libraries(exchange_lab PUBLIC mikeyd_exchange mikeyd_lab_token mikeyd_key_service mikeyd_build)
target_include_directories(exchange_lab PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/exchange)

foreach(area call counter derived dhe hostile interop pair peers prf reload secrets threads ticket turns update)
    mikeyd_integration_test(test_exchange_${area} SOURCES exchange/${area}.c LIBS exchange_lab
        TOKENS softhsm nss isolated)
endforeach()
target_link_options(test_exchange_dhe PRIVATE -Wl,--wrap=mikey_dh_make,--wrap=mikey_dh_agree)
# Three thousand exchanges, on the token that is fast; what OpenSSL gives is recorded.
mikeyd_integration_test(test_exchange_fresh SOURCES exchange/fresh.c LIBS exchange_lab TOKENS nss)
target_link_options(test_exchange_fresh PRIVATE -Wl,--wrap=RAND_bytes,--wrap=RAND_priv_bytes)
# Of the token they need only that there is one.
foreach(area errors sdp)
    mikeyd_integration_test(test_exchange_${area} SOURCES exchange/${area}.c LIBS exchange_lab)
endforeach()
# The vendors' modules are emulated in front of SoftHSM or NSS.
mikeyd_integration_test(test_exchange_vendors SOURCES exchange/vendors.c LIBS exchange_lab
    TOKENS softhsm nss)
target_compile_definitions(test_exchange_vendors
    PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
add_dependencies(test_exchange_vendors mikeyd_fault_module)
# The tests move the clocks. Of the token it needs only that there is one.
mikeyd_integration_test(test_exchange_clock SOURCES exchange/clock.c LIBS exchange_lab)
target_link_options(test_exchange_clock PRIVATE
    -Wl,--wrap=clock_unix_ms,--wrap=clock_unix_now,--wrap=clock_ntp_now,--wrap=store_clock_boottime_ms)
