mikeyd_integration_test(test_key_ceremony SOURCES key_ceremony.c
    LIBS mikeyd_token_fixture mikeyd_audit_report)
