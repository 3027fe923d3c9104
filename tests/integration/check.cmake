mikeyd_integration_test(test_daemon_check SOURCES daemon/test_check.c LIBS daemon_lab)
