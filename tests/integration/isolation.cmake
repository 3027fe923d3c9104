# Where keys stand, and what crosses the module: needs root for other processes' memory and other users.
find_file(SOFTHSM_MODULE libsofthsm2.so PATHS /usr/lib/softhsm /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/softhsm REQUIRED)
find_file(P11_KIT_CLIENT p11-kit-client.so PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/pkcs11 REQUIRED)
mikeyd_integration_test(test_memory
    SOURCES isolation/test_memory.c ${PROJECT_SOURCE_DIR}/tests/support/memory_scan.c
    LIBS daemon_lab mikeyd_importer)
target_include_directories(test_memory PRIVATE ${PROJECT_SOURCE_DIR}/tests)
target_compile_definitions(test_memory PRIVATE
    FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>"
    SOFTHSM_MODULE="${SOFTHSM_MODULE}" P11_KIT_CLIENT="${P11_KIT_CLIENT}")
add_dependencies(test_memory mikeyd_fault_module)

find_file(PKCS11_SPY pkcs11-spy.so PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE} REQUIRED)
mikeyd_integration_test(test_crossing SOURCES isolation/test_crossing.c LIBS daemon_lab)
target_compile_definitions(test_crossing PRIVATE SOFTHSM_MODULE="${SOFTHSM_MODULE}" SPY_MODULE="${PKCS11_SPY}")
