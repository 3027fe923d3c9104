mikeyd_unit_test(test_policy
    SOURCES policy/support.c policy/load.c policy/decide.c policy/budget.c policy/mesh.c policy/difference.c
            policy/rules_structure.c policy/rules_identity.c policy/rules_keys.c policy/rules_usage.c
            policy/rules_settings.c policy/rules_clients.c policy/rules_token.c policy/requirements.c policy/shipped.c
    LIBS mikeyd_policy)
target_compile_definitions(test_policy PRIVATE
    POLICIES="${PROJECT_SOURCE_DIR}/policy" SOURCES="${PROJECT_SOURCE_DIR}")

# Writes the requirements into SECURITY.md: tests/requirements.
add_executable(print_requirements policy/requirements.c policy/print_requirements.c)
target_link_libraries(print_requirements PRIVATE mikeyd_policy)
