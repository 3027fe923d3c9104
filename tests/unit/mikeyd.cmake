# The daemon's own parts that can be looked at one by one. The linker puts the test's function around a call, so that a
# reply can come in at one exact moment.
mikeyd_unit_test(test_release_gate
    SOURCES mikeyd/release_gate.c ${PROJECT_SOURCE_DIR}/src/mikeyd/release_gate.c
        ${PROJECT_SOURCE_DIR}/src/mikeyd/mailbox.c ${PROJECT_SOURCE_DIR}/src/mikeyd/job.c
    LIBS mikeyd_audit mikeyd_rpc mikeyd_base Threads::Threads)
target_link_options(test_release_gate PRIVATE -Wl,--wrap=pthread_mutex_unlock)
mikeyd_unit_test(test_unix_socket
    SOURCES mikeyd/unix_socket.c ${PROJECT_SOURCE_DIR}/src/mikeyd/unix_socket.c
    LIBS mikeyd_base)
mikeyd_unit_test(test_fair_queue
    SOURCES mikeyd/fair_queue.c ${PROJECT_SOURCE_DIR}/src/mikeyd/fair_queue.c ${PROJECT_SOURCE_DIR}/src/mikeyd/job.c
    LIBS mikeyd_rpc mikeyd_base)
mikeyd_unit_test(test_scrape_server
    SOURCES mikeyd/scrape_server.c ${PROJECT_SOURCE_DIR}/src/mikeyd/scrape_server.c ${PROJECT_SOURCE_DIR}/src/mikeyd/acceptor.c
    LIBS mikeyd_base PkgConfig::LIBEVENT Threads::Threads)
mikeyd_unit_test(test_metric_label
    SOURCES mikeyd/metric_label.c ${PROJECT_SOURCE_DIR}/src/mikeyd/metric_label.c LIBS PkgConfig::LIBEVENT)
mikeyd_unit_test(test_latency
    SOURCES mikeyd/latency.c ${PROJECT_SOURCE_DIR}/src/mikeyd/latency.c LIBS mikeyd_base)
mikeyd_unit_test(test_key_dates
    SOURCES mikeyd/key_dates.c ${PROJECT_SOURCE_DIR}/src/mikeyd/key_dates.c
    LIBS mikeyd_policy mikeyd_base)
mikeyd_unit_test(test_keeper
    SOURCES mikeyd/keeper.c ${PROJECT_SOURCE_DIR}/src/mikeyd/keeper.c ${PROJECT_SOURCE_DIR}/src/mikeyd/child.c
        ${PROJECT_SOURCE_DIR}/src/mikeyd/channel.c
    LIBS mikeyd_base)
