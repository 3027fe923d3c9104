mikeyd_integration_test(test_policy_check SOURCES policy/test_check.c LIBS mikeyd_token_fixture PkgConfig::JANSSON)
