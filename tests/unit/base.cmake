mikeyd_unit_test(test_base
    SOURCES base/bytes.c base/text.c base/identity.c base/clock.c base/clock_watch.c base/suite.c base/signature.c base/secret.c base/error.c base/log.c base/visible.c base/private_file.c base/psk_file.c
    LIBS mikeyd_base)
mikeyd_unit_test(test_yaml SOURCES base/test_yaml.c LIBS mikeyd_base)
