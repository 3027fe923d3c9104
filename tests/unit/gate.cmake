mikeyd_unit_test(test_gate_parts SOURCES gate/rewrite.c LIBS mikeyd_gate_parts)
