pkg_check_modules(PNG REQUIRED IMPORTED_TARGET libpng)
mikeyd_integration_test(test_audit_report SOURCES audit/test_report.c audit/story.c
                        LIBS mikeyd_audit PkgConfig::PNG)
