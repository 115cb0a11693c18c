# The simulator is a program of its own (no CUnit): seeds in, verdict out.
add_executable(magnum-simulation ${CMAKE_CURRENT_LIST_DIR}/simulation.c ${CMAKE_CURRENT_LIST_DIR}/sim.c
  ${CMAKE_CURRENT_LIST_DIR}/store.c ${CMAKE_CURRENT_LIST_DIR}/backend.c
  ${CMAKE_CURRENT_LIST_DIR}/conductor.c ${CMAKE_CURRENT_LIST_DIR}/schedule.c
  ${CMAKE_CURRENT_LIST_DIR}/model_accept.c ${CMAKE_CURRENT_LIST_DIR}/model_queue.c
  ${CMAKE_CURRENT_LIST_DIR}/model_finish.c ${CMAKE_SOURCE_DIR}/core/conductor/writes.c)
set_target_properties(magnum-simulation PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_include_directories(magnum-simulation PRIVATE ${CMAKE_SOURCE_DIR}/core ${CMAKE_SOURCE_DIR}/tests)
target_link_libraries(magnum-simulation PRIVATE magnum_operation)
add_test(NAME simulation/engine COMMAND magnum-simulation --schedules 50000)
add_test(NAME simulation/planted-bugs COMMAND magnum-simulation --bugs --schedules 30000)
set_tests_properties(simulation/engine simulation/planted-bugs PROPERTIES LABELS simulation TIMEOUT 120)
