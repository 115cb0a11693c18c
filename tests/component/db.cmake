foreach(part IN ITEMS base accept)
  magnum_add_test(db_${part} RING component TIMEOUT 180
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/db_${part}.c ${CMAKE_CURRENT_LIST_DIR}/db_fixture.c
    LINKS magnum_db test_pg)
endforeach()
