mikeyd_thread_test(test_keyholder_threads SOURCES keyholder/threads.c
    LIBS mikeyd_keyholder mikeyd_token_fixture)
