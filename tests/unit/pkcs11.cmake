# Tokens of their own, made by softhsm2-util and certutil; the fault module wraps a real one.
if(NOT TARGET mikeyd_token_fixture)
    add_library(mikeyd_token_fixture STATIC ${PROJECT_SOURCE_DIR}/tests/support/token_fixture.c)
    target_include_directories(mikeyd_token_fixture PUBLIC ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(mikeyd_token_fixture PUBLIC mikeyd_pkcs11)
endif()
mikeyd_unit_test(test_pkcs11_label SOURCES pkcs11/label.c LIBS mikeyd_pkcs11)
mikeyd_unit_test(test_pkcs11_open SOURCES pkcs11/open.c LIBS mikeyd_token_fixture)
mikeyd_unit_test(test_pkcs11_hmac SOURCES pkcs11/hmac.c LIBS mikeyd_token_fixture)
mikeyd_unit_test(test_pkcs11_derive SOURCES pkcs11/derive.c
    LIBS mikeyd_token_fixture mikeyd_importer PkgConfig::JANSSON)
