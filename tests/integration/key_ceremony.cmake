if(NOT TARGET mikeyd_token_fixture)
    add_library(mikeyd_token_fixture STATIC ${PROJECT_SOURCE_DIR}/tests/support/token_fixture.c)
    target_include_directories(mikeyd_token_fixture PUBLIC ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(mikeyd_token_fixture PUBLIC mikeyd_pkcs11)
endif()
mikeyd_integration_test(test_key_ceremony SOURCES key_ceremony.c
    LIBS mikeyd_token_fixture mikeyd_audit)
