# Debian packages by CPack: see deploy/package/build. Included last: it packs what was installed before.
set(MIKEYD_DOC_FILES ${CMAKE_CURRENT_BINARY_DIR}/package)
file(MAKE_DIRECTORY ${MIKEYD_DOC_FILES})
find_program(GZIP gzip REQUIRED)
execute_process(COMMAND ${GZIP} -9nc ${CMAKE_CURRENT_LIST_DIR}/debian/changelog
                OUTPUT_FILE ${MIKEYD_DOC_FILES}/changelog.Debian.gz COMMAND_ERROR_IS_FATAL ANY)

set(MIKEYD_PACKAGE_RELEASE 1 CACHE STRING "What follows the version in the packages' version")

# component, package
function(mikeyd_package component name)
    install(FILES ${MIKEYD_DOC_FILES}/changelog.Debian.gz ${PROJECT_SOURCE_DIR}/deploy/package/debian/copyright
            DESTINATION /usr/share/doc/${name} COMPONENT ${component})
    string(TOUPPER ${component} upper)
    set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name} PARENT_SCOPE)
    list(APPEND CPACK_COMPONENTS_ALL ${component})
    set(CPACK_COMPONENTS_ALL ${CPACK_COMPONENTS_ALL} PARENT_SCOPE)
endfunction()
mikeyd_package(daemon mikeyd)
mikeyd_package(gate mikeyd-gate)
mikeyd_package(tools mikeyd-tools)
mikeyd_package(library libmikeyd1)
mikeyd_package(development libmikeyd-dev)

set(package ${CMAKE_CURRENT_LIST_DIR})
install(FILES ${package}/mikeyd.yaml ${package}/policy.yaml DESTINATION /etc/mikeyd COMPONENT daemon)
install(FILES ${package}/mikeyd.logrotate DESTINATION /etc/logrotate.d RENAME mikeyd COMPONENT daemon)
install(FILES ${package}/mikeyd.sysusers DESTINATION /usr/lib/sysusers.d RENAME mikeyd.conf COMPONENT daemon)
install(FILES ${package}/mikeyd.tmpfiles DESTINATION /usr/lib/tmpfiles.d RENAME mikeyd.conf COMPONENT daemon)
install(FILES ${package}/mikeyd-gate.sysusers DESTINATION /usr/lib/sysusers.d RENAME mikeyd-gate.conf COMPONENT gate)
install(FILES ${package}/mikeyctl.completion DESTINATION /usr/share/bash-completion/completions RENAME mikeyctl
        COMPONENT tools)

set(CPACK_GENERATOR DEB)
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${MIKEYD_PACKAGE_RELEASE})
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "mikeyd developers <mikeyd@mikeyd.invalid>")
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/src/client)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_DAEMON_DESCRIPTION "Makes and answers MIKEY (RFC 3830) messages for session border controllers. Pre-shared keys stay in PKCS#11 tokens; clients get SRTP session keys only, and each release is in a tamper-evident audit log.")
set(CPACK_DEBIAN_DAEMON_PACKAGE_DEPENDS
    "mikeyd-tools (= ${PROJECT_VERSION}-${MIKEYD_PACKAGE_RELEASE}), systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles, procps")
set(CPACK_DEBIAN_DAEMON_PACKAGE_SUGGESTS "softhsm2, opensc, logrotate")
set(CPACK_DEBIAN_DAEMON_PACKAGE_CONTROL_EXTRA
    ${package}/debian/postinst ${package}/debian/prerm ${package}/debian/postrm ${package}/debian/conffiles)
set(CPACK_DEBIAN_GATE_DESCRIPTION "Lets session border controllers of other hosts use mikeyd: TLS 1.3, both sides authenticated, each client named by its certificate.")
set(CPACK_DEBIAN_GATE_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers, procps")
set(CPACK_DEBIAN_GATE_PACKAGE_CONTROL_EXTRA ${package}/debian/gate/postinst)
set(CPACK_DEBIAN_TOOLS_DESCRIPTION "mikeyctl makes the keys in a token, checks policies against RFC 9257, verifies audit logs, and does every client operation from the shell.")
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION "The C library by which a session border controller has its calls keyed by the mikeyd daemon.")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${package}/debian/triggers ${package}/debian/shlibs)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "Header, pkg-config file and manual page of libmikeyd.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libmikeyd1 (= ${PROJECT_VERSION}-${MIKEYD_PACKAGE_RELEASE})")
include(CPack)
