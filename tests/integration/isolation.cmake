# Where keys stand, and what crosses the module: needs root for other processes' memory and other users.
mikeyd_integration_test(test_memory SOURCES isolation/test_memory.c
    LIBS daemon_lab mikeyd_importer mikeyd_memory_scan)
target_compile_definitions(test_memory PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
add_dependencies(test_memory mikeyd_fault_module)

find_file(PKCS11_SPY pkcs11-spy.so PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE} REQUIRED)
mikeyd_integration_test(test_crossing SOURCES isolation/test_crossing.c LIBS daemon_lab TOKENS softhsm nss)
target_compile_definitions(test_crossing PRIVATE SPY_MODULE="${PKCS11_SPY}")
