mikeyd_unit_test(test_store
    SOURCES store/fixture.c store/entries.c store/track.c store/stamp.c store/counter.c store/times.c store/reach.c
        store/age.c store/redis.c
    LIBS mikeyd_store mikeyd_redis_server)
target_include_directories(test_store PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
# The tests move the clocks that the store looks at.
target_link_options(test_store PRIVATE
    -Wl,--wrap=clock_unix_ms,--wrap=clock_unix_now,--wrap=clock_ntp_now,--wrap=store_clock_boottime_ms)
