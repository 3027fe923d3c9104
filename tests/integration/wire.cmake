mikeyd_integration_test(test_dissection SOURCES wire/test_dissection.c LIBS daemon_lab TOKENS softhsm nss)
