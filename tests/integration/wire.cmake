mikeyd_integration_test(test_dissection SOURCES wire/test_dissection.c LIBS daemon_lab mikeyd_dissect TOKENS softhsm nss)
