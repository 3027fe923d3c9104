# The tests move the clocks that the store looks at.
function(mikeyd_store_test name)
    mikeyd_unit_test(${name} SOURCES store/fixture.c ${ARGN} LIBS mikeyd_store mikeyd_redis_server)
    target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_options(${name} PRIVATE
        -Wl,--wrap=clock_unix_ms,--wrap=clock_unix_now,--wrap=clock_ntp_now,--wrap=store_clock_boottime_ms)
endfunction()
mikeyd_store_test(test_store
    store/entries.c store/track.c store/stamp.c store/counter.c store/use.c store/times.c store/reach.c store/age.c)
mikeyd_store_test(test_store_redis store/redis.c store/redis_failover.c store/redis_password.c store/redis_tls.c)
