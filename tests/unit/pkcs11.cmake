# Tokens of their own, made by softhsm2-util and certutil; the fault module wraps a real one.
mikeyd_unit_test(test_pkcs11_label SOURCES pkcs11/label.c LIBS mikeyd_pkcs11)
mikeyd_unit_test(test_pkcs11_profile SOURCES pkcs11/profile.c LIBS mikeyd_profile PkgConfig::P11KIT)
mikeyd_unit_test(test_pkcs11_open SOURCES pkcs11/open.c LIBS mikeyd_token_fixture)
mikeyd_unit_test(test_pkcs11_hmac SOURCES pkcs11/hmac.c LIBS mikeyd_token_fixture)
mikeyd_unit_test(test_pkcs11_derive SOURCES pkcs11/derive.c
    LIBS mikeyd_token_fixture mikeyd_importer PkgConfig::JANSSON)
mikeyd_unit_test(test_provision SOURCES pkcs11/test_provision.c pkcs11/provision_support.c
    LIBS mikeyd_token_fixture)
mikeyd_unit_test(test_provision_faults
    SOURCES pkcs11/test_provision_faults.c pkcs11/provision_support.c LIBS mikeyd_token_fixture)
if(NOT TARGET mikeyd_fault_module)
    set(parts module plan object slot tally vendor)
    list(TRANSFORM parts REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/tests/module/fault_\\1.c")
    add_library(mikeyd_fault_module MODULE ${parts})
    target_link_libraries(mikeyd_fault_module PRIVATE mikeyd_build PkgConfig::P11KIT
        Threads::Threads ${CMAKE_DL_LIBS})
endif()
mikeyd_unit_test(test_fault_module SOURCES pkcs11/test_fault_module.c
    LIBS mikeyd_token_fixture mikeyd_fault_control PkgConfig::P11KIT ${CMAKE_DL_LIBS})
target_compile_definitions(test_fault_module PRIVATE SOURCE_DIR="${PROJECT_SOURCE_DIR}")
mikeyd_unit_test(test_pkcs11_memory SOURCES pkcs11/memory.c LIBS mikeyd_token_fixture)
set(parts stage lost busy handles down login keys start slow)
list(TRANSFORM parts REPLACE "(.+)" "pkcs11/recover_\\1.c")
mikeyd_unit_test(test_pkcs11_recover SOURCES ${parts}
    LIBS mikeyd_token_fixture mikeyd_fault_control)
mikeyd_thread_test(test_pkcs11_threads SOURCES pkcs11/threads.c LIBS mikeyd_token_fixture)
mikeyd_unit_test(test_signer_raw
    SOURCES pkcs11/test_signer_raw.c pkcs11/provision_support.c LIBS mikeyd_token_fixture)
target_compile_definitions(test_signer_raw PRIVATE P11_KIT_CLIENT="${P11_KIT_CLIENT}")
foreach(name pkcs11_recover pkcs11_threads signer_raw fault_module)
    target_compile_definitions(test_${name}
        PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
    add_dependencies(test_${name} mikeyd_fault_module)
endforeach()
