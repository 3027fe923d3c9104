mikeyd_unit_test(test_client
    SOURCES client/address.c client/again.c client/peer.c client/calls.c client/faults.c client/pipelined.c client/sdp.c
            client/threads.c
    LIBS mikeyd_client)
target_include_directories(test_client PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
# Sanitized programs bind lazily, and the binder saves vector registers, which hold what memcpy moved last, on
# the stack. Programs that are linked with -z now, like ours, do not: there the memory is searched for keys.
if(NOT MIKEYD_SANITIZE)
    target_sources(test_client PRIVATE client/wipe.c)
endif()

# The shared library as a program of another language sees it.
find_program(CXX_COMPILER NAMES c++ g++ clang++)
if(CXX_COMPILER)
    add_test(NAME client_header_is_cxx
        COMMAND ${CXX_COMPILER} -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only
            -I${PROJECT_SOURCE_DIR}/include ${CMAKE_CURRENT_SOURCE_DIR}/client/header.cpp)
endif()
add_test(NAME client_exports
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/client/exports.sh $<TARGET_FILE:mikeyd_shared>
        ${PROJECT_SOURCE_DIR}/include/mikeyd/client.h ${PROJECT_SOURCE_DIR}/include/mikeyd/sdp.h)

# <mikeyd/libsrtp.h> against libsrtp2 itself.
pkg_check_modules(SRTP IMPORTED_TARGET libsrtp2)
if(SRTP_FOUND)
    mikeyd_unit_test(test_client_libsrtp SOURCES client/libsrtp.c LIBS mikeyd_client PkgConfig::SRTP)
endif()
