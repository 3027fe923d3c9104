add_library(gate_lab STATIC gate/gate_lab.c ${PROJECT_SOURCE_DIR}/tests/support/pki.c)
target_link_libraries(gate_lab PUBLIC daemon_lab PkgConfig::SSL PkgConfig::CRITERION mikeyd_build)
target_include_directories(gate_lab PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/gate ${PROJECT_SOURCE_DIR}/tests)
target_compile_definitions(gate_lab PRIVATE GATE_PROGRAM="$<TARGET_FILE:mikeyd-gate>")
add_dependencies(gate_lab mikeyd-gate)

mikeyd_integration_test(test_gate_psk SOURCES gate/test_gate_psk.c LIBS gate_lab)
mikeyd_integration_test(test_gate_life SOURCES gate/test_gate_life.c LIBS gate_lab)
mikeyd_integration_test(test_gate SOURCES gate/test_gate.c LIBS gate_lab)
