mikeyd_unit_test(test_exchange_bundle SOURCES exchange/bundle.c LIBS mikeyd_exchange)
mikeyd_unit_test(test_exchange_tally SOURCES exchange/tally.c policy/support.c LIBS mikeyd_exchange)
target_compile_definitions(test_exchange_tally PRIVATE SOURCES="${PROJECT_SOURCE_DIR}")
