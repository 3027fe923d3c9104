mikeyd_unit_test(test_exchange_bundle SOURCES exchange/bundle.c LIBS mikeyd_exchange)

# In-process, but against real tokens, a real replay store and a real audit log.
set(EXCHANGE_TESTS ${PROJECT_SOURCE_DIR}/tests/integration/exchange)
foreach(area call hostile pair pair_cache prf reload threads ticket update)
    mikeyd_unit_test(test_exchange_${area}
        SOURCES ${EXCHANGE_TESTS}/${area}.c ${EXCHANGE_TESTS}/lab.c
        LIBS mikeyd_exchange)
    set_tests_properties(test_exchange_${area} PROPERTIES LABELS integration PROCESSORS 2)
endforeach()
set_tests_properties(test_exchange_threads PROPERTIES LABELS "integration;threads")
