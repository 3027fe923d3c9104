# The daemon's own parts that can be looked at one by one. The linker puts the test's functions around two calls, so
# that a reply can come in at one exact moment and flushes of the replay store can be counted.
mikeyd_unit_test(test_release_gate
    SOURCES mikeyd/release_gate.c ${PROJECT_SOURCE_DIR}/src/mikeyd/release_gate.c
        ${PROJECT_SOURCE_DIR}/src/mikeyd/mailbox.c ${PROJECT_SOURCE_DIR}/src/mikeyd/job.c
    LIBS mikeyd_audit mikeyd_store mikeyd_rpc mikeyd_base Threads::Threads)
target_link_options(test_release_gate PRIVATE -Wl,--wrap=pthread_mutex_unlock -Wl,--wrap=store_sync)
