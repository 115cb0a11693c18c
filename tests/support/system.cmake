# magnum_add_system_test(name [TIMEOUT s] [SERIAL] [COST s] [LOCK name]): tests/system/<name>.py as one
# CTest test. SERIAL: it loads or fills the machine and must not run beside others. COST: it takes so
# long, and begins before shorter ones. LOCK: not beside others with the same.
function(magnum_add_system_test name)
  cmake_parse_arguments(A "SERIAL" "TIMEOUT;RING;COST;LOCK" "" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  if(NOT A_RING)
    set(A_RING system)
  endif()
  add_test(NAME ${A_RING}/${name} COMMAND python3 -B
           ${CMAKE_SOURCE_DIR}/tests/${A_RING}/test_${name}.py)
  set(environment "MAGNUM_SOURCE_DIR=${CMAKE_SOURCE_DIR}" "MAGNUM_BUILD_DIR=${CMAKE_BINARY_DIR}"
      "PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/support")
  if(MAGNUM_SANITIZE)
    list(APPEND environment "MAGNUM_SANITIZED=1")
    math(EXPR A_TIMEOUT "${A_TIMEOUT} * 4")
  endif()
  set_tests_properties(${A_RING}/${name} PROPERTIES LABELS ${A_RING} TIMEOUT ${A_TIMEOUT}
    ENVIRONMENT "${environment}")
  if(A_SERIAL)
    set_tests_properties(${A_RING}/${name} PROPERTIES RUN_SERIAL ON)
  endif()
  if(A_COST)
    set_tests_properties(${A_RING}/${name} PROPERTIES COST ${A_COST})
  endif()
  if(A_LOCK)
    set_tests_properties(${A_RING}/${name} PROPERTIES RESOURCE_LOCK ${A_LOCK})
  endif()
endfunction()
