include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(policy_file SOURCES ${CMAKE_CURRENT_LIST_DIR}/policy_file.c LINKS magnum_auth)
