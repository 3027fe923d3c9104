mikeyd_unit_test(test_importer
    SOURCES importer/vectors.c importer/rules.c importer/tls.c
    LIBS mikeyd_importer PkgConfig::JANSSON)
