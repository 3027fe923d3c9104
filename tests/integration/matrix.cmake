# Every function x every return value x first, middle, last call: a third of it at each run.
mikeyd_integration_test(test_fault_matrix SOURCES matrix/matrix.c matrix/service.c matrix/start.c
    LIBS keyholder_lab mikeyd_fault_control TOKENS softhsm nss)
target_include_directories(test_fault_matrix PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_definitions(test_fault_matrix PRIVATE FAULT_MODULE="$<TARGET_FILE:mikeyd_fault_module>")
add_dependencies(test_fault_matrix mikeyd_fault_module)
