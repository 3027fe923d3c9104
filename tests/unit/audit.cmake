mikeyd_unit_test(test_audit_log SOURCES audit/test_log.c audit/fixture.c LIBS mikeyd_audit)
