# PostgreSQL for real: each test starts its own.
foreach(part IN ITEMS base accept ends queue observe tables faults manage history)
  magnum_add_test(db_${part} RING component TIMEOUT 300
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/db_${part}.c LINKS test_db)
endforeach()
foreach(part IN ITEMS manage history)
  target_sources(test_component_db_${part} PRIVATE ${CMAKE_CURRENT_LIST_DIR}/manage_run.c)
  add_dependencies(test_component_db_${part} magnum-db-manage)
endforeach()
target_link_libraries(test_component_db_history PRIVATE PkgConfig::pq)
target_link_libraries(test_component_db_queue PRIVATE PkgConfig::pq)
# The simulator's store against the real one.
magnum_add_test(db_model RING component TIMEOUT 600
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/db_model.c
          ${CMAKE_SOURCE_DIR}/tests/simulation/model_accept.c
          ${CMAKE_SOURCE_DIR}/tests/simulation/model_queue.c
          ${CMAKE_SOURCE_DIR}/tests/simulation/model_finish.c
  LINKS test_db PkgConfig::pq)
