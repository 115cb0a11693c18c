include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(pem_bundle SOURCES ${CMAKE_CURRENT_LIST_DIR}/pem_bundle.c
  LINKS magnum_certs)
