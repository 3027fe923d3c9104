mikeyd_unit_test(test_exchange_bundle SOURCES exchange/bundle.c LIBS mikeyd_exchange)
