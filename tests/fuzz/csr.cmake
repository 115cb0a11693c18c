include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(csr SOURCES ${CMAKE_CURRENT_LIST_DIR}/csr.c LINKS magnum_certs)
