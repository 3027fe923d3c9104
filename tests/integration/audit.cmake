pkg_check_modules(PNG REQUIRED IMPORTED_TARGET libpng)
mikeyd_integration_test(test_audit_page SOURCES audit/test_page.c audit/story.c
                        LIBS mikeyd_audit_report PkgConfig::PNG)
mikeyd_integration_test(test_audit_token_key SOURCES audit/test_token_key.c
                        LIBS mikeyd_token_fixture mikeyd_audit_report)
mikeyd_integration_test(test_audit_query SOURCES audit/test_query.c LIBS daemon_lab_ctl)
mikeyd_integration_test(test_audit_follow SOURCES audit/test_follow.c LIBS daemon_lab_ctl)
mikeyd_integration_test(test_key_inventory SOURCES audit/test_inventory.c LIBS daemon_lab_ctl)
