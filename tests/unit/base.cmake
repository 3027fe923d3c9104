mikeyd_unit_test(test_base
    SOURCES base/bytes.c base/text.c base/identity.c base/clock.c base/clock_watch.c base/suite.c base/signature.c base/secret.c base/error.c base/log.c base/visible.c base/private_file.c base/psk_file.c
    LIBS mikeyd_base)
mikeyd_unit_test(test_yaml SOURCES base/test_yaml.c LIBS mikeyd_base)
# Each test has a process of its own, whose generator is chosen before its first use.
mikeyd_unit_test(test_random SOURCES base/random.c ${PROJECT_SOURCE_DIR}/tests/module/faulty_random.c
    LIBS mikeyd_base)
target_include_directories(test_random PRIVATE ${PROJECT_SOURCE_DIR}/tests)
