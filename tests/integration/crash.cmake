mikeyd_integration_test(test_kill SOURCES crash/test_kill.c LIBS daemon_lab)
