# A keyholder in one process with its tests, on real tokens; and the program itself.
add_library(keyholder_lab STATIC keyholder/lab.c)
target_link_libraries(keyholder_lab PUBLIC mikeyd_keyholder mikeyd_provision mikeyd_lab_token mikeyd_build)
target_include_directories(keyholder_lab PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/keyholder)

foreach(area door faults group program proof)
    mikeyd_integration_test(test_keyholder_${area} SOURCES keyholder/test_keyholder_${area}.c
        LIBS keyholder_lab TOKENS softhsm nss)
endforeach()
mikeyd_integration_test(test_keyholder_use SOURCES keyholder/test_keyholder_use.c
    LIBS keyholder_lab TOKENS softhsm nss opencryptoki)
foreach(area faults program)
    target_compile_definitions(test_keyholder_${area}
        PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
    target_link_libraries(test_keyholder_${area} PRIVATE mikeyd_fault_control)
    add_dependencies(test_keyholder_${area} mikeyd_fault_module)
endforeach()
# With the daemon's way of having its log signed.
target_sources(test_keyholder_group PRIVATE ${PROJECT_SOURCE_DIR}/src/mikeyd/audit_signer.c)
target_link_libraries(test_keyholder_group PRIVATE mikeyd_audit_verify)
target_link_libraries(test_keyholder_program PRIVATE mikeyd_memory_scan)
target_compile_definitions(test_keyholder_program
    PRIVATE KEYHOLDER_PROGRAM="$<TARGET_FILE:mikeyd-keyholder>")
add_dependencies(test_keyholder_program mikeyd-keyholder)
# Of the token it needs only that there is one.
mikeyd_integration_test(test_pair_cache SOURCES keyholder/test_pair_cache.c LIBS keyholder_lab)
