foreach(area last_store last_policy log gather verify forgery rotate failure report uses)
    mikeyd_unit_test(test_audit_${area} SOURCES audit/test_${area}.c audit/fixture.c LIBS mikeyd_audit_report m)
endforeach()
mikeyd_unit_test(test_audit_export SOURCES audit/test_export.c LIBS mikeyd_audit_export)
