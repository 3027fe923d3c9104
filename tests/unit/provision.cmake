# The key ceremony's functions and the audit signer, on tokens of their own (SoftHSM, NSS softokn).
foreach(name test_provision test_provision_faults test_provision_transport test_provision_derive test_signer)
    if(NOT TARGET ${name})
        mikeyd_unit_test(${name} SOURCES pkcs11/${name}.c pkcs11/provision_support.c
            LIBS mikeyd_token_fixture mikeyd_importer PkgConfig::JANSSON)
    endif()
endforeach()
