mikeyd_unit_test(test_sandbox SOURCES sandbox/sandbox.c LIBS mikeyd_sandbox mikeyd_base PkgConfig::SECCOMP)
