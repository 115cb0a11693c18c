include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(sealed_bundle SOURCES ${CMAKE_CURRENT_LIST_DIR}/sealed_bundle.c
  ${CMAKE_SOURCE_DIR}/plugins/certs-local/files.c ${CMAKE_SOURCE_DIR}/plugins/certs-local/keyring.c
  ${CMAKE_SOURCE_DIR}/plugins/certs-local/store.c
  LINKS magnum_sdk PkgConfig::openssl)
